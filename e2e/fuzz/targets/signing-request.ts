// What a proxy sends to have a certificate signed: PKCS #10 in PEM. Only what is asked for in the right form is read; everything else is
// refused in our own words.
import { parseSigningRequest } from "#control-plane/identity/certificates.ts";
import { IdentityError } from "#control-plane/identity/spiffe-id.ts";
import { makeCsr } from "#control-plane/identity/testing/make-csr.ts";

import { blur, type Target } from "../target.ts";

export const signingRequest: Target = {
  name: "signing-request",
  covers: ["/control-plane/identity/certificates.ts", "/control-plane/identity/spiffe-id.ts"],
  seeds: async () => [
    toDer(await makeCsr("spiffe://a/ns/b/sa/c")),
    toDer(await makeCsr("shop.example", "dns")),
    toDer(await makeCsr("spiffe://a/b", "url", "P-384")),
  ],
  async run(input) {
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${input.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    for (const text of [pem, input.toString("latin1")]) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- two forms of one input
        const { uris } = await parseSigningRequest(text);
        return `${uris.length} names`;
      } catch (error) {
        if (!(error instanceof IdentityError)) throw error;
        if (text === input.toString("latin1")) return blur(error.message);
      }
    }
    return "";
  },
};

function toDer(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ""), "base64");
}
