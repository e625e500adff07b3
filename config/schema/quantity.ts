// Quantities as Kubernetes writes them: `500m`, `64Ki`, `1.5Gi`, `1e3`.

const quantity = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE]([+-]?\d{1,2}))?$/;

/** The pattern for a CRD; the same language as `tryQuantity` reads, unsigned. */
export const quantityPattern =
  "^([0-9]+([.][0-9]*)?|[.][0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]{1,2})?$";

const factors: { readonly [suffix: string]: number } = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The number that a quantity stands for (bytes, cores ...), or undefined where the text is none. */
export function tryQuantity(text: string): number | undefined {
  const match = quantity.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = "", suffix, exponent] = match;
  // Through decimal text, so that 100m is 0.1 and not 0.1 plus an error.
  const decimal = suffix === undefined ? Number(`${digits}e${exponent ?? "0"}`) : scale(digits, suffix);
  return sign === "-" ? -decimal : decimal;
}

/** As `tryQuantity`, for text that was checked; throws a TypeError for any other text. */
export function quantityValue(text: string): number {
  const result = tryQuantity(text);
  if (result === undefined) throw new TypeError(`Cannot parse quantity: got ${JSON.stringify(text)}`);
  return result;
}

function scale(digits: string, suffix: string): number {
  const factor = factors[suffix] ?? 1;
  return suffix.endsWith("i") ? Number(digits) * factor : Number(`${digits}e${Math.round(Math.log10(factor))}`);
}

/** What the writer of something that is not a quantity probably meant. */
export function quantityHint(value: unknown): string {
  const usual = "write it as 500m, 64Ki or 1Gi";
  if (typeof value !== "string") return usual;
  const [, digits, unit = ""] = /^([0-9.]+)\s*([A-Za-z]+)$/.exec(value.trim()) ?? [];
  const meant: { readonly [word: string]: string } = {
    kb: "k",
    kib: "Ki",
    mb: "M",
    mib: "Mi",
    gb: "G",
    gib: "Gi",
    b: "",
    ki: "Ki",
    mi: "Mi",
    gi: "Gi",
    g: "G",
    t: "T",
    K: "k",
  };
  const suffix = meant[unit] ?? meant[unit.toLowerCase()];
  return digits === undefined || suffix === undefined ? usual : `did you mean "${digits}${suffix}"?`;
}
