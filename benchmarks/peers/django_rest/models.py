"""The table of tasks; its migrations are the service's."""

from uuid import uuid4

from django.db import models


class Priority(models.IntegerChoices):
    """In the order of their rank."""

    NONE = 0, "none"
    LOW = 1, "low"
    MEDIUM = 2, "medium"
    HIGH = 3, "high"


class Task(models.Model):
    """One thing to do."""

    pk = models.CompositePrimaryKey("user_id", "id")
    user_id = models.UUIDField()
    id = models.UUIDField(default=uuid4)
    title = models.CharField(max_length=200)
    description = models.TextField(null=True, max_length=5000)
    complete = models.BooleanField(default=False)
    completed_at = models.DateTimeField(null=True)
    priority = models.SmallIntegerField(choices=Priority.choices, default=Priority.NONE)
    due_date = models.DateField(null=True)
    due_at = models.DateTimeField(null=True)
    category_id = models.UUIDField(null=True)
    version = models.BigIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "tasks"
