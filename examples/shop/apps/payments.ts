// payments: charges cards. Remembers what it charged, so that the same `Idempotency-Key` is charged once.
import { headerOf, startHttpService, type Answer, type Ask } from "../kit/http-service.ts";
import { runMain, type Running } from "../kit/main.ts";
import { Recent } from "../kit/recent.ts";
import type { Settings } from "../kit/settings.ts";

/** Idempotency keys remembered. */
const KEPT = 20_000;

/** Starts payments; `FAIL_EVERY=3` lets every third request fail after its work was done. */
export function startPayments(settings: Settings): Promise<Running> {
  const charged = new Recent<number>(KEPT);
  let total = 0;
  return startHttpService(settings, (ask: Ask): Answer | undefined => {
    const instance = settings.instance;
    switch (`${ask.method} /${ask.path.join("/")}`) {
      case "GET /rates":
        return { status: 200, body: { eur: 1, usd: 1.08, instance } };
      case "GET /audit":
      case "GET /charges":
        return { status: 200, body: { total, instance } };
      case "POST /charges": {
        const key = headerOf(ask, "idempotency-key");
        const known = key === undefined ? undefined : charged.get(key);
        if (known !== undefined) return { status: 200, body: { charge: known, instance } };
        total += 1;
        if (key !== undefined) charged.set(key, total);
        return { status: 201, body: { charge: total, instance } };
      }
      default:
        return undefined;
    }
  });
}

if (import.meta.main) await runMain("payments", startPayments);
