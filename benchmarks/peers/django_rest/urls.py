"""The routes."""

from rest_framework.routers import SimpleRouter

from django_rest.views import TaskViewSet

router = SimpleRouter(trailing_slash=False)
router.register("v1/tasks", TaskViewSet, basename="task")
urlpatterns = router.urls
