// reviews: what customers think of a product. Two versions run: v1 answers texts, v2 stars too.
import type { Ask, Answer } from "../kit/http-service.ts";
import { startHttpService } from "../kit/http-service.ts";
import { runMain, type Running } from "../kit/main.ts";
import type { Settings } from "../kit/settings.ts";

const TEXTS: Readonly<Record<string, readonly string[]>> = {
  mug: ["Holds tea.", "Holds coffee too."],
  teapot: ["Short and stout."],
  kettle: ["Loud."],
};

/** Starts reviews; `settings.version` decides what it answers. */
export function startReviews(settings: Settings): Promise<Running> {
  return startHttpService(settings, (ask) => answer(settings, ask));
}

function answer(settings: Settings, ask: Ask): Answer | undefined {
  const [resource, sku = ""] = ask.path;
  if (ask.method !== "GET") return undefined;
  const source = { version: settings.version, instance: settings.instance };
  const texts = TEXTS[sku] ?? [];
  if (resource === "reviews") {
    const reviews = texts.map((text) => (settings.version === "v1" ? { text } : { text, stars: 4 }));
    return { status: 200, body: { sku, reviews, ...source } };
  }
  if (resource === "ratings") return { status: 200, body: { sku, rating: texts.length === 0 ? 0 : 4, ...source } };
  return undefined;
}

if (import.meta.main) await runMain("reviews", startReviews);
