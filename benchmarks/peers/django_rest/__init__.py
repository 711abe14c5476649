"""Django REST framework, as its documentation has one write it, for an API without pages."""
