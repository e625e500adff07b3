// A server, or a client, and a peer whose frames a test writes by hand.
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http2Client } from "../client.ts";
import { Http2Server } from "../server.ts";
import type { Http2Settings } from "../settings.ts";
import { describeFrames, PREFACE, settings, settingsAck } from "./frames.ts";
import { makeSettings, RecordingHandler } from "./recorder.ts";

export class ServerDialogue {
  readonly host = new MemoryHost();
  readonly clock = new FakeClock();
  readonly handler = new RecordingHandler();
  readonly server: Http2Server;

  /** Past the preface and the settings of both sides. */
  constructor(changes: Partial<Http2Settings> = {}, peer: readonly (readonly [number, number])[] = []) {
    this.server = new Http2Server(this.host, this.handler, makeSettings(changes), this.clock);
    this.send(PREFACE, settings(...peer), settingsAck());
    this.host.take();
  }

  /** Sends frames to the server; gives what it answers, in words. */
  send(...frames: readonly Buffer[]): string[] {
    const bytes = Buffer.concat(frames);
    this.server.receive(bytes, 0, bytes.length);
    return this.answer();
  }

  answer(): string[] {
    return describeFrames(this.host.take());
  }
}

export class ClientDialogue {
  readonly host = new MemoryHost();
  readonly clock = new FakeClock();
  readonly client: Http2Client;
  readonly told: string[] = [];
  onPeerClosed: () => void = () => undefined;

  constructor(changes: Partial<Http2Settings> = {}, peer: readonly (readonly [number, number])[] | "silent" = []) {
    const handler = {
      onAvailable: () => void this.told.push("available"),
      onRetired: () => void this.told.push("retired"),
      onPeerClosed: () => this.onPeerClosed(),
    };
    this.client = new Http2Client(this.host, handler, makeSettings(changes), this.clock);
    if (peer !== "silent") this.send(settings(...peer), settingsAck());
    this.told.length = 0;
    this.host.take();
  }

  send(...frames: readonly Buffer[]): string[] {
    const bytes = Buffer.concat(frames);
    this.client.receive(bytes, 0, bytes.length);
    return this.answer();
  }

  answer(): string[] {
    return describeFrames(this.host.take());
  }
}
