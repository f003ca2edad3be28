"""JupyterHub, which ends when it is told to, also if its database can no longer be written: `python server.py …`."""

from jupyterhub.app import JupyterHub
from sqlalchemy.exc import SQLAlchemyError


class Hub(JupyterHub):
    """JupyterHub alone gives up on a full disk halfway to its end: seats, the proxy and itself may stay."""

    async def cleanup(self):
        session, commit = self.db, self.db.commit

        def commit_or_forget():
            try:
                commit()
            except SQLAlchemyError as error:
                self.log.error("not written, so the next start has to find out what has ended: %s", error)
                session.rollback()

        session.autoflush, session.commit = False, commit_or_forget
        session.commit()
        await super().cleanup()


if __name__ == "__main__":
    Hub.launch_instance()
