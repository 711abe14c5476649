"""/v1/tasks"""

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, viewsets
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response

from django_rest.models import Task
from django_rest.serializers import TaskSerializer


class TaskPagination(CursorPagination):
    """Fifty at a time, the newest first."""

    page_size = 50
    ordering = ("-created_at", "-id")

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"items": data, "next_cursor": self.get_next_link()})


class TaskViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet,
):
    """The user's tasks."""

    serializer_class = TaskSerializer
    pagination_class = TaskPagination
    lookup_field = "id"

    def get_queryset(self) -> QuerySet[Task]:
        return Task.objects.filter(user_id=self.request.user.id, deleted_at=None)

    def perform_create(self, serializer: TaskSerializer) -> None:
        serializer.save(user_id=self.request.user.id)
