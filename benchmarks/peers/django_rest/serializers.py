"""What a task looks like to clients, and what they may send."""

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from django_rest.models import Priority, Task


class PriorityField(serializers.ChoiceField):
    """The name of a priority, for its number in the table."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=Priority.labels, **options)

    def to_representation(self, value: int) -> str:
        return Priority.labels[value]

    def to_internal_value(self, data: Any) -> int:
        return Priority.labels.index(super().to_internal_value(data))


class TaskSerializer(serializers.ModelSerializer):
    """A task."""

    priority = PriorityField(required=False)

    class Meta:
        model = Task
        fields = (
            "id",
            "user_id",
            "title",
            "description",
            "complete",
            "completed_at",
            "priority",
            "due_date",
            "due_at",
            "category_id",
            "version",
            "created_at",
            "updated_at",
        )
        read_only_fields = (
            "id",
            "user_id",
            "completed_at",
            "version",
            "created_at",
            "updated_at",
        )

    def create(self, validated_data: dict[str, Any]) -> Task:
        if validated_data.get("complete"):
            validated_data["completed_at"] = timezone.now()
        return super().create(validated_data)

    def update(self, instance: Task, validated_data: dict[str, Any]) -> Task:
        if "complete" in validated_data:
            done = validated_data["complete"]
            instance.completed_at = (instance.completed_at or timezone.now()) if done else None
        instance.version += 1
        return super().update(instance, validated_data)
