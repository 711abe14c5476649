"""The contract as an OpenAPI 3.1 document; `document.py` puts it together."""
