"""The hub's page for the teacher: /hub/progress, for administrators only."""

from pathlib import Path

from jupyterhub import orm
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.scopes import needs_scope
from tornado.web import HTTPError, authenticated

from patchcore_edu.workshop.settings import TEACHER, Settings
from patchcore_edu.workshop.spawner import seat_home
from patchcore_edu.workshop.teacher import Row, most_met, read_row, solved_by

RIGHT, OPEN = "✓", "·"


def rows_of(homes: Path, names: list[str]) -> list[Row]:
    """The progress of these learners."""
    return [read_row(name, seat_home(homes, name) / "progress.json") for name in sorted(names)]


class ProgressPage(BaseHandler):
    """Who has solved what so far, and which common mistakes were made most often."""

    def initialize(self, settings: Settings):
        self.workshop = settings

    def learners(self) -> list[str]:
        return [name for (name,) in self.db.query(orm.User.name) if name != TEACHER]

    @authenticated
    @needs_scope("admin-ui")
    async def get(self):
        rows = rows_of(self.workshop.homes, self.learners())
        exercises = self.workshop.exercises
        html = await self.render_template(
            "progress.html",
            rows=[(row, [RIGHT if name in row.solved else OPEN for _, name in exercises]) for row in rows],
            exercises=exercises,
            counts=solved_by(rows),
            mistakes=most_met(rows),
        )
        self.finish(html)

    @authenticated
    @needs_scope("admin:users")
    async def post(self):
        """Let a learner choose a new PIN."""
        name = self.get_body_argument("name")
        if name not in self.learners():
            raise HTTPError(404, "%s", f"there is no learner {name[:40]}")
        self.authenticator.pins.forget(name)
        self.redirect("progress")
