// The mesh of examples/policies, running, with a page's YAML applied to it: `heddle up` on a copy whose ports are free ones.
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseYaml } from "#config/load/yaml-documents.ts";
import { Child } from "../../../examples/demo/child.ts";
import { takePortBlock, type PortBlock } from "../../../examples/demo/free-ports.ts";
import { fieldOf, listOf, textOf } from "../../../examples/demo/json.ts";
import { portsOf } from "../../../examples/demo/layout.ts";
import { until } from "../../../examples/demo/wait.ts";
import { Shell, type Ran } from "../../shell.ts";

const root = path.join(import.meta.dirname, "../../..");
const base = path.join(root, "examples/policies/mesh/mesh.yaml");
/** `HEDDLE_MAIN` names another one: the bundle. */
const heddle = process.env["HEDDLE_MAIN"] ?? path.join(root, "cli/main.ts");

/** As `heddle up` has them without an offset; the block of ports begins above them, so that the offset is not negative. */
const PLANE = { xds: 15_010, secure: 15_012, metrics: 15_014 } as const;
/** Where they lie in the block. */
const PLANE_AT = 18_900;
const LIMIT_MS = 60_000;

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export interface State {
  readonly version: string;
  /** With the file and the place. */
  readonly errors: readonly string[];
  /** Conditions of every document, by `Kind namespace/name`. */
  readonly objects: ReadonlyMap<string, readonly Condition[]>;
}

export class ExampleMesh {
  readonly #folder: string;
  readonly #block: PortBlock;
  readonly #metrics: string;
  readonly #processes: Child[] = [];
  /** Texts of the base's documents by their identity, and which of them a page has replaced. */
  readonly #base = new Map<string, string>();
  readonly #replaced = new Set<string>();
  #page: readonly (readonly [identity: string, text: string])[] = [];
  #sidecars = 0;

  private constructor(folder: string, block: PortBlock) {
    this.#folder = folder;
    this.#block = block;
    this.#metrics = `http://127.0.0.1:${block.move(PLANE_AT + PLANE.metrics - PLANE.xds)}`;
  }

  /** Starts the applications and the mesh, and waits until every proxy has its configuration. */
  static async start(): Promise<ExampleMesh> {
    const planePorts = Object.values(PLANE).map((port) => PLANE_AT + port - PLANE.xds);
    // From 16000 on: below it there is no offset for the planes' ports.
    const block = await takePortBlock([...(await portsOf(path.dirname(base))), ...planePorts], () => 0.3 + Math.random() * 0.6);
    const mesh = new ExampleMesh(await mkdtemp(path.join(os.tmpdir(), "heddle-docs-")), block);
    try {
      await mesh.#start();
    } catch (error) {
      await mesh.stop();
      throw error;
    }
    return mesh;
  }

  async #start(): Promise<void> {
    await mkdir(path.join(this.#folder, "mesh"));
    for (const [identity, text] of documentsOf(await readFile(base, "utf8"))) {
      this.#base.set(identity, text);
      await this.#write(fileOf(identity), text);
      this.#sidecars += [...text.matchAll(/\bsidecar:/g)].length;
    }
    await this.#write("page.yaml", nothing);
    const run = async (name: string, ...args: readonly string[]): Promise<void> => {
      const logFile = path.join(this.#folder, `${name}.log`);
      this.#processes.unshift(await Child.start({ name, file: process.execPath, args, env: {}, logFile }));
    };
    await run("apps", path.join(root, "examples/policies/apps.ts"), path.join(this.#folder, "mesh"));
    const offset = this.#block.move(PLANE_AT) - PLANE.xds;
    const state = path.join(this.#folder, ".heddle");
    const up = ["up", path.join(this.#folder, "mesh"), "--state", state, "--offset", String(offset)];
    await run("up", heddle, ...up, "--log-level", "warn");
    await this.#untilGoverned();
  }

  /** Puts documents into the mesh, in place of those with the same kind and name, and waits until every proxy has them. */
  async apply(yaml: string): Promise<State> {
    const documents = documentsOf(yaml);
    const added = documents.filter(([identity]) => !this.#base.has(identity));
    const kept = this.#page.filter(([identity]) => !added.some(([other]) => other === identity));
    this.#page = [...kept, ...added];
    return this.#change(async () => {
      for (const [identity, text] of documents) {
        if (!this.#base.has(identity)) continue;
        this.#replaced.add(identity);
        await this.#write(fileOf(identity), text);
      }
      if (added.length > 0) await this.#write("page.yaml", this.#page.map(([, text]) => text).join("---\n"));
    });
  }

  /** Back to the bare mesh. */
  async reset(): Promise<void> {
    if (this.#page.length === 0 && this.#replaced.size === 0) return;
    const isPage = this.#page.length > 0;
    this.#page = [];
    await this.#change(async () => {
      for (const identity of this.#replaced) await this.#write(fileOf(identity), this.#base.get(identity) ?? "");
      if (isPage) await this.#write("page.yaml", nothing);
    });
    this.#replaced.clear();
  }

  /** A reader's shell: `heddle` is the command, the ports of the pages are the mesh's. */
  async shell(): Promise<Shell> {
    const shell = new Shell(this.#folder, process.env);
    await shell.run(`heddle() {\n"${process.execPath}" "${heddle}" "$@"\n}`);
    return shell;
  }

  /** Runs a command of a page; what it prints has the page's ports. */
  async run(shell: Shell, command: string): Promise<Ran> {
    const ran = await shell.run(this.#moved(command));
    const back = (text: string): string => text.replaceAll(/\b\d{5}\b/g, (port) => this.#back(port));
    return { ...ran, printed: back(ran.printed).replaceAll(`${this.#folder}/`, "") };
  }

  /** What the control plane says of the documents. */
  async state(): Promise<State> {
    const body: unknown = await (await fetch(`${this.#metrics}/debug/config`)).json();
    const objects = listOf(body, "objects").map((object) => {
      const conditions = listOf(object, "conditions").map((condition) => ({
        type: textOf(condition, "type"),
        status: textOf(condition, "status"),
        reason: textOf(condition, "reason"),
        message: textOf(condition, "message"),
      }));
      const name = `${textOf(object, "kind")} ${textOf(object, "namespace")}/${textOf(object, "name")}`;
      return [name, conditions] as const;
    });
    const errors = listOf(body, "errors").map((error) => `${textOf(error, "at")}: ${textOf(error, "message")}`);
    return { version: textOf(body, "version"), errors, objects: new Map(objects) };
  }

  /** Ends everything; the proxies first, so that they drain to their applications. */
  async stop(): Promise<void> {
    for (const child of this.#processes) await child.stop();
    await this.#block.release();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Writes, and waits until the control plane has read it, or refused it, and every proxy has what came of it. */
  async #change(write: () => Promise<void>): Promise<State> {
    const before = await this.state();
    await write();
    const state = await until(
      "the control plane to read an edit",
      async () => {
        const now = await this.state();
        const isRefused = now.errors.length > 0 && now.errors.join("\n") !== before.errors.join("\n");
        return now.version !== before.version || isRefused ? now : undefined;
      },
      LIMIT_MS,
    );
    return state.version === before.version ? state : this.#untilGoverned();
  }

  #untilGoverned(): Promise<State> {
    return until(
      "every proxy to have the configuration",
      async () => {
        const state = await this.state();
        const receipts: unknown = await (await fetch(`${this.#metrics}/debug/receipts?version=${state.version}`)).json();
        const [applied, total] = [fieldOf(receipts, "applied"), fieldOf(receipts, "total")];
        if (applied !== total || total !== this.#sidecars) return undefined;
        // What it said before the last proxy had it is out of date.
        const now = await this.state();
        return now.version === state.version ? now : undefined;
      },
      LIMIT_MS,
    );
  }

  /** As editors do: a new file takes the old one's place. */
  async #write(file: string, text: string): Promise<void> {
    const next = path.join(this.#folder, "next");
    await writeFile(next, this.#moved(text));
    await rename(next, path.join(this.#folder, "mesh", file));
  }

  #moved(text: string): string {
    return text.replaceAll(/\b18\d{3}\b/g, (port) => String(this.#block.move(Number(port))));
  }

  #back(port: string): string {
    const theirs = Number(port) - this.#block.move(18_000) + 18_000;
    return theirs >= 18_000 && theirs < 19_000 ? String(theirs) : port;
  }
}

const nothing = "# Nothing is applied.\n";

function fileOf(identity: string): string {
  return `${identity.replaceAll(/[ /]/g, ".").toLowerCase()}.yaml`;
}

/** Each document's text by `Kind namespace/name`. What is no document has an identity all the same: Heddle shall refuse it. */
function documentsOf(yaml: string): readonly (readonly [identity: string, text: string])[] {
  return yaml.split(/^---\n/m).map((text) => {
    const value = parseYaml(text, "page").documents[0]?.value;
    const metadata = fieldOf(value, "metadata");
    return [`${textOf(value, "kind")} ${textOf(metadata, "namespace")}/${textOf(metadata, "name")}`, text] as const;
  });
}
