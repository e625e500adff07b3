// A bundle of its own, see re2.ts.
export { RE2JS } from "re2js";
