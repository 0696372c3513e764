"""Tornado with a ThreadPoolExecutor, one process: tornado_app.py THREADS.

The calls run on the executor's threads, GET / in the event loop. Prints "ready ADDRESS".
"""

import asyncio
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import tornado.httpserver
import tornado.netutil
import tornado.web

import work

executor = ThreadPoolExecutor(int(sys.argv[1]))


class Call(tornado.web.RequestHandler):
    def initialize(self, function, parameters, json):
        self.function, self.parameters, self.json = function, parameters, json

    async def get(self):
        arguments = [kind(self.get_query_argument(name)) for name, kind in self.parameters.items()]
        result = await asyncio.get_running_loop().run_in_executor(executor, self.function, *arguments)
        self.set_header("Content-Type", "application/json" if self.json else "text/plain; charset=utf-8")
        self.write(str(result))


class Hello(tornado.web.RequestHandler):
    def get(self):
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(work.hello())


async def main():
    call = lambda function, json, **parameters: dict(function=function, parameters=parameters, json=json)
    application = tornado.web.Application(
        [
            ("/", Hello),
            ("/add", Call, call(work.add, True, a=int, b=int)),
            ("/mix", Call, call(work.mix, True, n=int)),
            ("/sleep", Call, call(work.sleep, False, seconds=float)),
            ("/loop", Call, call(work.loop, False, seconds=float)),
        ]
    )
    logging.getLogger("tornado.access").disabled = True
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1", backlog=4096)
    tornado.httpserver.HTTPServer(application).add_sockets(sockets)
    print("ready 127.0.0.1:%d" % sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
