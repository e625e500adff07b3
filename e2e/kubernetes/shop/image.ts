// The image of the shop's applications (examples/shop/kubernetes/apps.yaml): a bundle each in /shop, and Node.
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

import { ImageTree } from "../../../scripts/image/tree.ts";
import { getTestImage } from "../cluster/images.ts";
import { getNodePrograms } from "../cluster/node-programs.ts";

/** This package reads its protos from beside its own files: in the image they lie in /shop/reflection. */
const REFLECTION = path.dirname(fileURLToPath(import.meta.resolve("@grpc/reflection")));
const PROTOS = ["v1", "v1alpha"].map((version) => `proto/grpc/reflection/${version}/reflection.proto`);

const SHOP = path.join(import.meta.dirname, "..", "..", "..", "examples", "shop");

/** Path of the archive. */
export async function getShopImage(): Promise<string> {
  const files = new Map<string, string>([
    // The catalog reads it from beside itself.
    ["catalog.proto", fs.readFileSync(path.join(SHOP, "catalog", "catalog.proto"), "utf8")],
    ...PROTOS.map(
      (file) => [`reflection/${file}`, fs.readFileSync(path.join(REFLECTION, "..", file), "utf8")] as const,
    ),
    ["relay.ts", fs.readFileSync(path.join(import.meta.dirname, "relay.ts"), "utf8")],
  ]);
  const apps = fs.readdirSync(path.join(SHOP, "apps"));
  const built = await rolldown({
    input: Object.fromEntries(apps.map((file) => [path.basename(file, ".ts"), path.join(SHOP, "apps", file)])),
    platform: "node",
    external: ["bufferutil", "utf-8-validate"],
    plugins: [
      {
        name: "reflection-protos",
        transform: (code, id) =>
          id.includes("@grpc/reflection")
            ? code.replaceAll("__dirname", JSON.stringify("/shop/reflection/src/implementations"))
            : null,
      },
    ],
  });
  const { output } = await built.generate({
    format: "esm",
    entryFileNames: "[name].mjs",
    chunkFileNames: "[name]-[hash].mjs",
  });
  await built.close();
  for (const file of output) if (file.type === "chunk") files.set(file.fileName, file.code);
  const hash = createHash("sha256")
    .update(JSON.stringify([...files]))
    .digest("hex");
  return getTestImage(getNodePrograms(), "heddle.test/shop:1", [hash], (below) => {
    const tree = new ImageTree(below);
    for (const [name, text] of files) tree.addText(`/shop/${name}`, text);
    return [tree];
  });
}
