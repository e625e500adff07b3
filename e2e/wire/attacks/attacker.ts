// Runs one attack, as a process of its own: `attacker.ts MODULE NAME`, the target in a message, the report in another.

/** What an attack is given. It ends soon after `ms`; what it opened dies with its process. */
export interface AttackTarget {
  readonly port: number;
  readonly ms: number;
  /** Of another listener, or whatever else a test tells its attack. */
  readonly args: Readonly<Record<string, string | number>>;
}

/** What the attacker saw. */
export interface AttackReport {
  /** Frames, requests or whatever the attack is made of: what was given to the socket. */
  readonly units: number;
  readonly connections: number;
  readonly bytes: number;
  /** How often something came back or a connection ended: `GOAWAY ENHANCE_YOUR_CALM`, `FIN`, `RST`, `431` ... */
  readonly saw: Readonly<Record<string, number>>;
}

export type Attack = (target: AttackTarget) => Promise<AttackReport>;

const [module, name] = process.argv.slice(2);
if (process.send !== undefined && module !== undefined && name !== undefined) {
  const attacks = (await import(module)) as Readonly<Record<string, Attack>>; // as: the test names what the module exports
  const attack = attacks[name];
  if (attack === undefined) throw new Error(`${module} has no attack ${name}`);
  process.on("message", (target: AttackTarget) => {
    void attack(target).then((report) => process.send?.(report, () => process.exit()));
  });
  process.on("disconnect", () => process.exit());
  process.send("loaded");
}
