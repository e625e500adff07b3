// notifications: pushes news to browsers over WebSocket (`/ws`), and echoes what they say.
import { WebSocketServer, WebSocket } from "ws";
import { objectBody, startHttpService } from "../kit/http-service.ts";
import { runMain, type Running } from "../kit/main.ts";
import type { Settings } from "../kit/settings.ts";

/** How long a browser may take to answer our good-bye. */
const CLOSE_MS = 5_000;

/**
 * Starts notifications. On `/ws` a socket is greeted with `{"type":"welcome"}`, a text comes back as `{"type":"echo"}`,
 * binary comes back as it is, and `POST /publish` reaches every socket as `{"type":"push"}`.
 */
export async function startNotifications(settings: Settings): Promise<Running> {
  const sockets = new WebSocketServer({ noServer: true });
  const instance = settings.instance;
  sockets.on("connection", (socket) => {
    socket.send(JSON.stringify({ type: "welcome", instance }));
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      socket.send(isBinary ? data : JSON.stringify({ type: "echo", text: data.toString("utf8"), instance }));
    });
    socket.on("error", () => socket.terminate());
  });
  const service = await startHttpService(settings, (ask) => {
    if (ask.method !== "POST" || ask.path[0] !== "publish") return undefined;
    const text = JSON.stringify({ type: "push", ...objectBody(ask) });
    let reached = 0;
    for (const socket of sockets.clients) {
      if (socket.readyState !== WebSocket.OPEN) continue;
      socket.send(text);
      reached += 1;
    }
    return { status: 202, body: { reached, instance } };
  });
  service.server.on("upgrade", (request, socket, head) => {
    if (request.url !== "/ws") {
      socket.end("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => sockets.emit("connection", opened, request));
  });
  return {
    port: service.port,
    close: async () => {
      for (const socket of sockets.clients) socket.close(1001, "going away");
      const limit = setTimeout(() => {
        for (const socket of sockets.clients) socket.terminate();
      }, CLOSE_MS);
      await new Promise<void>((resolve) => {
        sockets.close(() => resolve());
      });
      clearTimeout(limit);
      await service.close();
    },
  };
}

if (import.meta.main) await runMain("notifications", startNotifications);
