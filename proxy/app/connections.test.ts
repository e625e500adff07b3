// The table of downstream connections: who is in it, and who is asked to go.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { systemClock } from "#lib/clock.ts";

import { Connections, type Connection } from "./connections.ts";

function make(asked: string[], name: string, onDrain: (connection: Connection) => void = () => undefined): Connection {
  const connection: Connection = {
    place: -1,
    kind: "http",
    listener: "in",
    isIdle: () => true,
    drain() {
      asked.push(name);
      onDrain(connection);
    },
  };
  return connection;
}

describe("the connections of a worker", () => {
  it("are asked to go once each, whoever has left before, and in whatever order", () => {
    for (const leaving of [0, 1, 2]) {
      const asked: string[] = [];
      const connections = new Connections(systemClock);
      const all = ["a", "b", "c"].map((name) => make(asked, name));
      for (const connection of all) connections.add(connection);
      const [left] = all.splice(leaving, 1);
      assert.ok(left !== undefined);
      connections.delete(left);
      connections.delete(left);
      assert.equal(connections.count("http"), 2);
      connections.drain();
      assert.deepEqual(asked.toSorted(), ["a", "b", "c"].toSpliced(leaving, 1));
      for (const connection of all) connections.delete(connection);
      assert.equal(connections.count("http"), 0);
    }
  });

  it("may leave while they are asked", async () => {
    const asked: string[] = [];
    const connections = new Connections(systemClock);
    for (const name of ["a", "b", "c"]) connections.add(make(asked, name, (gone) => connections.delete(gone)));
    const empty = connections.whenEmpty(30_000);
    assert.equal(connections.closeIdle(), 3);
    assert.deepEqual(asked, ["a", "b", "c"]);
    await empty;
  });
});
