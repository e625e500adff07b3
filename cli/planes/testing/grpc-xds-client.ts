// A program that calls a gRPC service by xDS, without a proxy: `node grpc-xds-client.ts TARGET`; its bootstrap is in the
// environment (GRPC_XDS_BOOTSTRAP_CONFIG). It registers resolvers for its whole process, so it is one of its own.
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { register } from "@grpc/grpc-js-xds";

register();
const client = new Client(process.argv[2] ?? "", credentials.createInsecure());
const asIs = (bytes: Buffer): Buffer => bytes;

async function call(headers: Readonly<Record<string, string>>): Promise<string> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + 5_000 };
    client.makeUnaryRequest("/shop.Catalog/Get", asIs, asIs, Buffer.from("hello"), metadata, options, (error, answer) =>
      resolve(error === null ? String(answer) : `${error.code} ${error.details}`),
    );
  });
}

const answers = [await call({}), await call({ version: "v2" })];
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
