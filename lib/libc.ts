// Functions of Linux's C library that Node has none for, through node:ffi: the doorway to it.

interface Ffi {
  dlopen(library: string, functions: object): { readonly functions: unknown };
}

interface Signature {
  readonly return: string;
  readonly arguments: readonly string[];
}

/**
 * The functions of `signatures` by name; whoever calls says what they are. Node's warning that its module may change is not printed:
 * the images pin their Node, and a user of a sidecar can do nothing about it. All other warnings are.
 * @throws {Error} where this Node has no `node:ffi`, or the C library is not glibc.
 */
export function loadLibc<F>(signatures: Readonly<Record<keyof F, Signature>>): F {
  // Not in the types of every Node that runs this file.
  const ffi = withoutItsWarning(() => process.getBuiltinModule("node:ffi")) as unknown as Ffi | undefined; // as: its documentation
  if (ffi === undefined) throw new Error("This Node has no node:ffi");
  return ffi.dlopen("libc.so.6", signatures).functions as F; // as: dlopen has checked that they are there
}

function withoutItsWarning<T>(load: () => T): T {
  // Node calls it as it stands on the process, where else it would be out of reach.
  const before = Reflect.get(process, "emitWarning") as (...args: unknown[]) => void; // as: its type has overloads
  process.emitWarning = (...args: unknown[]) => {
    const [warning, kind] = args;
    const isOurs = kind === "ExperimentalWarning" && typeof warning === "string" && warning.startsWith("FFI ");
    if (!isOurs) Reflect.apply(before, process, args);
  };
  try {
    return load();
  } finally {
    process.emitWarning = before;
  }
}
