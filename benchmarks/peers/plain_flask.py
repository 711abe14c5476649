"""Plain Flask with Flask-SQLAlchemy, as their tutorials have one write it."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from typing import Annotated, Any
from uuid import UUID, uuid4

import jwt
from flask import Flask, Response, abort, g, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, DateTime, SmallInteger, tuple_
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ISSUER = "tasks-api"
PRIORITIES = ("none", "low", "medium", "high")


class Base(DeclarativeBase):
    pass


Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]


app = Flask(__name__)
app.config["SECRET_KEY"] = os.environ["JWT_SECRET"]
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app, model_class=Base)


def now() -> datetime:
    return datetime.now(UTC)


class Task(db.Model):
    __tablename__ = "tasks"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    title: Mapped[str]
    description: Mapped[str | None]
    complete: Mapped[bool] = mapped_column(default=False)
    completed_at: Mapped[Instant | None]
    priority: Mapped[int] = mapped_column(SmallInteger, default=0)
    due_date: Mapped[date | None]
    due_at: Mapped[Instant | None]
    category_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    created_at: Mapped[Instant] = mapped_column(default=now)
    updated_at: Mapped[Instant] = mapped_column(default=now)
    deleted_at: Mapped[Instant | None]

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "user_id": self.user_id,
            "title": self.title,
            "description": self.description,
            "complete": self.complete,
            "completed_at": text(self.completed_at),
            "priority": PRIORITIES[self.priority],
            "due_date": text(self.due_date),
            "due_at": text(self.due_at),
            "category_id": self.category_id,
            "version": self.version,
            "created_at": text(self.created_at),
            "updated_at": text(self.updated_at),
        }


def text(value: date | None) -> str | None:
    return value.isoformat() if value else None


def login_required(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapped_view(**kwargs: Any) -> Any:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(
                token,
                app.config["SECRET_KEY"],
                algorithms=["HS256"],
                issuer=ISSUER,
                audience=ISSUER,
            )
        except jwt.InvalidTokenError:
            abort(401)
        g.user_id = UUID(claims["sub"])
        return view(**kwargs)

    return wrapped_view


@app.errorhandler(400)
@app.errorhandler(401)
@app.errorhandler(404)
def error(problem: Any) -> tuple[Response, int]:
    return jsonify(error=problem.description), problem.code


@app.get("/v1/tasks")
@login_required
def list_tasks() -> Response:
    limit = min(request.args.get("limit", 50, type=int), 200)
    query = db.select(Task).where(Task.user_id == g.user_id, Task.deleted_at.is_(None))
    if cursor := request.args.get("cursor"):
        query = query.where(tuple_(Task.created_at, Task.id) < decode(cursor))
    query = query.order_by(Task.created_at.desc(), Task.id.desc()).limit(limit + 1)
    tasks = db.session.execute(query).scalars().all()
    return jsonify(
        items=[task.to_dict() for task in tasks[:limit]],
        next_cursor=encode(tasks[limit - 1]) if len(tasks) > limit else None,
    )


@app.post("/v1/tasks")
@login_required
def create_task() -> tuple[Response, int]:
    task = Task(user_id=g.user_id)
    write(task, request.get_json())
    if not task.title:
        abort(400, "title is required")
    db.session.add(task)
    db.session.commit()
    return jsonify(task.to_dict()), 201


@app.get("/v1/tasks/<uuid:task_id>")
@login_required
def get_task(task_id: UUID) -> Response:
    return jsonify(find(task_id).to_dict())


@app.patch("/v1/tasks/<uuid:task_id>")
@login_required
def update_task(task_id: UUID) -> Response:
    task = find(task_id)
    write(task, request.get_json())
    task.version += 1
    task.updated_at = now()
    db.session.commit()
    return jsonify(task.to_dict())


def find(task_id: UUID) -> Task:
    task = db.session.get(Task, (g.user_id, task_id))
    if task is None or task.deleted_at:
        abort(404)
    return task


def write(task: Task, data: dict[str, Any]) -> None:
    try:
        for name in ("title", "description", "complete"):
            if name in data:
                setattr(task, name, data[name])
        if "complete" in data:
            task.completed_at = (task.completed_at or now()) if data["complete"] else None
        if "priority" in data:
            task.priority = PRIORITIES.index(data["priority"])
        if "due_date" in data:
            task.due_date = data["due_date"] and date.fromisoformat(data["due_date"])
        if "due_at" in data:
            task.due_at = data["due_at"] and datetime.fromisoformat(data["due_at"])
        if "category_id" in data:
            task.category_id = data["category_id"] and UUID(data["category_id"])
    except (TypeError, ValueError) as problem:
        abort(400, str(problem))


def encode(task: Task) -> str:
    return urlsafe_b64encode(f"{task.created_at.isoformat()} {task.id}".encode()).decode()


def decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, task_id = urlsafe_b64decode(cursor).decode().split(" ")
        return datetime.fromisoformat(created_at), UUID(task_id)
    except ValueError:
        abort(400, "invalid cursor")
