"""Starlette under uvicorn (uvloop, httptools), one process: starlette_app.py.

The calls are synchronous endpoints, which Starlette runs on its thread pool (40 threads by
default); GET / is asynchronous. Prints "ready ADDRESS".
"""

import socket

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import work


def json(value: int) -> Response:
    return Response(str(value), media_type="application/json")


def add(request: Request) -> Response:
    query = request.query_params
    return json(work.add(int(query["a"]), int(query["b"])))


def mix(request: Request) -> Response:
    return json(work.mix(int(request.query_params["n"])))


def sleep(request: Request) -> Response:
    return PlainTextResponse(work.sleep(float(request.query_params["seconds"])))


def loop(request: Request) -> Response:
    return PlainTextResponse(work.loop(float(request.query_params["seconds"])))


async def hello(_: Request) -> Response:
    return PlainTextResponse(work.hello())


endpoints = {"/": hello, "/add": add, "/mix": mix, "/sleep": sleep, "/loop": loop}
application = Starlette(routes=[Route(path, endpoint) for path, endpoint in endpoints.items()])


async def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    config = uvicorn.Config(application, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    server = uvicorn.Server(config)
    print("ready 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    await server.serve(sockets=[listener])



uvloop.run(main())
