"""JupyterHub, which ends when told to, even if its database can no longer be written: `python server.py …`."""

from jupyterhub.app import JupyterHub
from sqlalchemy.exc import SQLAlchemyError


class Hub(JupyterHub):
    """On a full disk, plain JupyterHub gives up halfway through shutting down: seats, proxy and hub may stay alive."""

    async def cleanup(self):
        session, commit = self.db, self.db.commit

        def commit_or_forget():
            try:
                commit()
            except SQLAlchemyError as error:
                self.log.error("not written; the next start must find out what has ended: %s", error)
                session.rollback()

        session.autoflush, session.commit = False, commit_or_forget
        session.commit()
        await super().cleanup()


if __name__ == "__main__":
    Hub.launch_instance()
