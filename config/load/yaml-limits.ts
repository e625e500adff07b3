// How big a file of configuration may be.

/** Bounds of what one file may make us hold. Aliases count as what they expand to. */
export const yamlLimits = { textBytes: 8 * 1024 * 1024, valuesPerDocument: 200_000, depth: 64 } as const;
