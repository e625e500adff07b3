// The platform's own reverse proxy for HTTP/2: node:http2 on both sides, no filter, no log. node http2.ts PORT UPSTREAM
import http2 from "node:http2";

const [port = "", upstream = ""] = process.argv.slice(2);
const session = http2.connect(`http://127.0.0.1:${upstream}`);

http2
  .createServer()
  .on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    const hasBody = headers[":method"] !== "GET" && headers[":method"] !== "HEAD";
    const request = session.request(headers, { endStream: !hasBody });
    if (hasBody) stream.pipe(request);
    request.on("response", (answer) => {
      stream.respond(answer);
      request.pipe(stream);
    });
    request.on("error", () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
    stream.on("error", () => request.close(http2.constants.NGHTTP2_CANCEL));
  })
  .listen(Number(port), "127.0.0.1");
