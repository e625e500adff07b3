// The files of an image: what is put in by hand, and for programs the shared libraries that they need.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import type { TarEntry } from "./tar.ts";

/** Where the layout of merged folders leads: `/lib` is `/usr/lib`. */
const MERGED = ["bin", "lib", "lib64", "sbin"] as const;

export class ImageTree {
  readonly #entries = new Map<string, TarEntry>();
  readonly #below: ImageTree | undefined;

  /** `below`: the layer under this one; what it has is not added again. */
  constructor(below?: ImageTree) {
    this.#below = below;
  }

  /** The folders and files that every program may look for: `/tmp`, `/etc/passwd` with `users`, the loader's own paths. */
  static makeBase(users: Readonly<Record<string, number>>): ImageTree {
    const tree = new ImageTree();
    for (const name of MERGED) {
      tree.#add({ path: `usr/${name}`, kind: "folder", mode: 0o755 });
      tree.#add({ path: name, kind: "link", mode: 0o777, target: `usr/${name}` });
    }
    tree.#add({ path: "tmp", kind: "folder", mode: 0o1777 });
    const named = Object.entries({ root: 0, ...users });
    tree.addText("/etc/passwd", named.map(([name, id]) => `${name}:x:${id}:${id}::/:/sbin/nologin\n`).join(""));
    tree.addText("/etc/group", named.map(([name, id]) => `${name}:x:${id}:\n`).join(""));
    tree.addText("/etc/nsswitch.conf", "hosts: files dns\n");
    return tree;
  }

  addText(at: string, text: string): void {
    this.#addFile(at, Buffer.from(text), 0o644);
  }

  /** A file as it is; links are followed. */
  addFile(at: string, source: string, mode = 0o644): void {
    this.#addFile(at, fs.readFileSync(source), mode);
  }

  addLink(at: string, target: string): void {
    this.#add({ path: normalize(at), kind: "link", mode: 0o777, target });
  }

  /** A program with the shared libraries that the loader would take here. `env` says where else it looks. */
  addProgram(at: string, source: string, env: NodeJS.ProcessEnv = process.env): void {
    this.addFile(at, source, 0o755);
    for (const library of librariesOf(source, env)) this.addFile(placeOf(library), library, 0o755);
  }

  /** Folders before what is in them, names in order: the same contents give the same bytes. */
  entries(): TarEntry[] {
    return [...this.#entries.values()].sort((left, right) => (left.path < right.path ? -1 : 1));
  }

  /** Of all files. */
  get bytes(): number {
    return this.entries().reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0);
  }

  /** Lays the files out under `folder`, for builders that copy from there. */
  writeTo(folder: string): void {
    for (const { path: name, kind, mode, bytes, target } of this.entries()) {
      const at = path.join(folder, name);
      if (kind === "folder") fs.mkdirSync(at, { recursive: true });
      else if (kind === "link") fs.symlinkSync(target ?? "", at);
      else fs.writeFileSync(at, bytes ?? "");
      if (kind !== "link") fs.chmodSync(at, mode);
    }
  }

  #addFile(at: string, bytes: Uint8Array, mode: number): void {
    this.#add({ path: normalize(at), kind: "file", mode, bytes });
  }

  #add(entry: TarEntry): void {
    if (this.#has(entry.path)) return;
    const folder = path.dirname(entry.path);
    if (folder !== ".") this.#add({ path: folder, kind: "folder", mode: 0o755 });
    this.#entries.set(entry.path, entry);
  }

  #has(name: string): boolean {
    return this.#entries.has(name) || (this.#below !== undefined && this.#below.#has(name));
  }
}

/** `/lib/x` as `usr/lib/x`: a folder here must not replace a link below. */
function normalize(at: string): string {
  const name = path.posix.normalize(at).replace(/^\/+/, "");
  const first = name.split("/", 1)[0] ?? "";
  return MERGED.some((merged) => merged === first) && name !== first ? `usr/${name}` : name;
}

function librariesOf(file: string, env: NodeJS.ProcessEnv): string[] {
  // ldd fails for what is linked statically.
  let text = "";
  try {
    text = execFileSync("ldd", [fs.realpathSync(file)], { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return [];
  }
  const missing = /^\s*(\S+) => not found/m.exec(text)?.[1];
  if (missing !== undefined) throw new Error(`Cannot put ${file} into an image: its library ${missing} is not here`);
  return [...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
}

/** The loader's name is fixed in each program; other libraries go where it looks without being told. */
function placeOf(library: string): string {
  if (/\/ld-linux[^/]*$/.test(library)) return library.replace(/^.*(\/lib(?:64)?\/ld-linux)/, "$1");
  const triplet = /\/(\w+-linux-gnu)\//.exec(library)?.[1];
  return path.posix.join("/usr/lib", triplet ?? "", path.basename(library));
}
