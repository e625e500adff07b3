// Finds types by name in files whose descriptors are hydrated when they are asked for: protobuf-es's own registry would walk them all.
import type { DescFile, DescMessage, Registry } from "@bufbuild/protobuf";
import { tryMessage } from "./file-desc.ts";

/** The messages of these files and of all that they import; there are no extensions, services or enums to be found in it. */
export function makeLazyRegistry(files: readonly DescFile[]): Registry {
  let byPackage: Map<string, DescFile[]> | undefined;
  const known = new Map<string, DescMessage | undefined>();
  const getMessage = (typeName: string): DescMessage | undefined => {
    if (known.has(typeName)) return known.get(typeName);
    byPackage ??= groupByPackage(withImports(files, new Set()));
    const message = findMessage(byPackage, typeName);
    // Names that nobody knows come from outside, and could be any number.
    if (message !== undefined) known.set(typeName, message);
    return message;
  };
  return {
    kind: "registry",
    get: getMessage,
    getMessage,
    getEnum: () => undefined,
    getExtension: () => undefined,
    getExtensionFor: () => undefined,
    getService: () => undefined,
    *[Symbol.iterator]() {
      for (const file of withImports(files, new Set())) yield* withNested(file.messages);
    },
  };
}

function withImports(files: readonly DescFile[], seen: Set<DescFile>): Set<DescFile> {
  for (const file of files) {
    if (seen.has(file)) continue;
    seen.add(file);
    withImports(file.dependencies, seen);
  }
  return seen;
}

function groupByPackage(files: ReadonlySet<DescFile>): Map<string, DescFile[]> {
  const groups = new Map<string, DescFile[]>();
  for (const file of files) {
    const group = groups.get(file.proto.package);
    if (group === undefined) groups.set(file.proto.package, [file]);
    else group.push(file);
  }
  return groups;
}

/** A package's name is what stands before the last dots, as many as there are messages around the message. */
function findMessage(byPackage: ReadonlyMap<string, readonly DescFile[]>, typeName: string): DescMessage | undefined {
  for (let end = typeName.lastIndexOf("."); end > 0; end = typeName.lastIndexOf(".", end - 1)) {
    for (const file of byPackage.get(typeName.slice(0, end)) ?? []) {
      const message = tryMessage(file, typeName);
      if (message !== undefined) return message;
    }
  }
  return undefined;
}

function* withNested(messages: readonly DescMessage[]): Generator<DescMessage> {
  for (const message of messages) {
    yield message;
    yield* withNested(message.nestedMessages);
  }
}
