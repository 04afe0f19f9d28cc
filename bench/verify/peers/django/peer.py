"""A peer: djangorestframework-api-key, which says yes to a key with an empty body.

    python peer.py REQUESTS DATABASE    makes the tables and 1,000 keys, and writes requests with them
    gunicorn peer:application           serves; BENCH_DATABASE names the database

One file is the whole project: settings, the view, and the way to it.
"""

import os
import sys

import django
from django.conf import settings

if len(sys.argv) == 3 and __name__ == "__main__":
    os.environ["BENCH_DATABASE"] = sys.argv[2]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCH_DATABASE"],
            # Not a new connection for each request.
            "CONN_MAX_AGE": None,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "rest_framework_api_key",
    ],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="for a measurement on the loopback interface alone",
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import HasAPIKey


class Verify(APIView):
    permission_classes = [HasAPIKey]

    def get(self, request):
        return Response(status=200, headers={"Content-Length": "0"})


urlpatterns = [path("api/auth/verify", Verify.as_view())]
application = get_wsgi_application()


def make_keys(file):
    call_command("migrate", verbosity=0)
    with open(file, "w", encoding="ascii") as requests:
        for number in range(1000):
            _, key = APIKey.objects.create_key(name=f"Worker {number}")
            requests.write(f"GET\t/api/auth/verify\tAuthorization: Api-Key {key}\n")


if __name__ == "__main__":
    make_keys(sys.argv[1])
