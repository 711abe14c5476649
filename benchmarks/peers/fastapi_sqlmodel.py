"""FastAPI with SQLModel on asyncpg, as their documentation has one write it.

Models as in SQLModel's tutorial (a table, Create, Public, Update), a session as a dependency, a
response model for each path, the token verified in a dependency as in FastAPI's security tutorial.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import OAuth2PasswordBearer
from pydantic import field_validator
from sqlalchemy import BigInteger, DateTime, SmallInteger, tuple_
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

SECRET_KEY = os.environ["JWT_SECRET"]
ALGORITHM = "HS256"
ISSUER = "tasks-api"
PRIORITIES = ("none", "low", "medium", "high")

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=20,  # the default of 5 would open and close connections under this load
)
app = FastAPI()
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")

Priority = Literal["none", "low", "medium", "high"]


def now() -> datetime:
    return datetime.now(UTC)


class TaskBase(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=5000)
    complete: bool = False
    due_date: date | None = None
    due_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    category_id: UUID | None = None


class Task(TaskBase, table=True):
    __tablename__ = "tasks"

    user_id: UUID = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    priority: int = Field(default=0, sa_type=SmallInteger)
    completed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    version: int = Field(default=1, sa_type=BigInteger)
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    deleted_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class TaskCreate(TaskBase):
    priority: Priority = "none"


class TaskUpdate(SQLModel):
    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=5000)
    complete: bool | None = None
    priority: Priority | None = None
    due_date: date | None = None
    due_at: datetime | None = None
    category_id: UUID | None = None


class TaskPublic(TaskBase):
    id: UUID
    user_id: UUID
    priority: Priority
    completed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    @field_validator("priority", mode="before")
    @classmethod
    def name_of(cls, value: int) -> str:
        return PRIORITIES[value]


class TasksPublic(SQLModel):
    items: list[TaskPublic]
    next_cursor: str | None


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def get_current_user_id(token: Annotated[str, Depends(oauth2_scheme)]) -> UUID:
    try:
        payload = jwt.decode(
            token, SECRET_KEY, algorithms=[ALGORITHM], issuer=ISSUER, audience=ISSUER
        )
        return UUID(payload["sub"])
    except (jwt.InvalidTokenError, KeyError, ValueError):
        raise HTTPException(
            status_code=401,
            detail="Could not validate credentials",
            headers={"WWW-Authenticate": "Bearer"},
        ) from None


SessionDep = Annotated[AsyncSession, Depends(get_session)]
CurrentUserId = Annotated[UUID, Depends(get_current_user_id)]


@app.get("/v1/tasks", response_model=TasksPublic)
async def read_tasks(
    session: SessionDep,
    user_id: CurrentUserId,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Any:
    query = select(Task).where(Task.user_id == user_id, col(Task.deleted_at).is_(None))
    if cursor:
        query = query.where(tuple_(col(Task.created_at), col(Task.id)) < decode(cursor))
    query = query.order_by(col(Task.created_at).desc(), col(Task.id).desc()).limit(limit + 1)
    tasks = (await session.exec(query)).all()
    return {
        "items": tasks[:limit],
        "next_cursor": encode(tasks[limit - 1]) if len(tasks) > limit else None,
    }


@app.post("/v1/tasks", response_model=TaskPublic, status_code=201)
async def create_task(task: TaskCreate, session: SessionDep, user_id: CurrentUserId) -> Any:
    db_task = Task.model_validate(
        task,
        update={
            "user_id": user_id,
            "priority": PRIORITIES.index(task.priority),
            "completed_at": now() if task.complete else None,
        },
    )
    session.add(db_task)
    await session.commit()
    await session.refresh(db_task)
    return db_task


@app.get("/v1/tasks/{task_id}", response_model=TaskPublic)
async def read_task(task_id: UUID, session: SessionDep, user_id: CurrentUserId) -> Any:
    return await get_task(session, user_id, task_id)


@app.patch("/v1/tasks/{task_id}", response_model=TaskPublic)
async def update_task(
    task_id: UUID, task: TaskUpdate, session: SessionDep, user_id: CurrentUserId
) -> Any:
    db_task = await get_task(session, user_id, task_id)
    task_data = task.model_dump(exclude_unset=True)
    if "priority" in task_data:
        task_data["priority"] = PRIORITIES.index(task_data["priority"])
    if "complete" in task_data:
        task_data["completed_at"] = (db_task.completed_at or now()) if task.complete else None
    db_task.sqlmodel_update(task_data)
    db_task.version += 1
    db_task.updated_at = now()
    session.add(db_task)
    await session.commit()
    await session.refresh(db_task)
    return db_task


async def get_task(session: AsyncSession, user_id: UUID, task_id: UUID) -> Task:
    task = await session.get(Task, (user_id, task_id))
    if task is None or task.deleted_at:
        raise HTTPException(status_code=404, detail="Task not found")
    return task


def encode(task: Task) -> str:
    return urlsafe_b64encode(f"{task.created_at.isoformat()} {task.id}".encode()).decode()


def decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, task_id = urlsafe_b64decode(cursor).decode().split(" ")
        return datetime.fromisoformat(created_at), UUID(task_id)
    except ValueError:
        raise HTTPException(status_code=422, detail="Invalid cursor") from None
