// The application of the shopper and of the stranger: hands on what the test asks of it, to the service that the path begins with
// (`/reviews:9080/ratings/mug` to `http://reviews:9080/ratings/mug`), and answers what that answered. It listens at PORT.
import http from "node:http";

const agent = new http.Agent({ keepAlive: true });

const server = http.createServer((request, response) => {
  const [, service = "", rest = ""] = /^\/([^/]+)(.*)$/u.exec(request.url ?? "") ?? [];
  const { host: _host, connection: _connection, ...headers } = request.headers;
  const onward = http.request(`http://${service}${rest}`, { agent, method: request.method, headers });
  onward.on("error", () => response.destroy());
  onward.on("response", (answer) => {
    const { connection: _ended, ...fields } = answer.headers;
    response.writeHead(answer.statusCode ?? 502, fields);
    answer.on("error", () => response.destroy());
    answer.pipe(response);
  });
  request.pipe(onward);
});
server.listen(Number(process.env["PORT"]));
