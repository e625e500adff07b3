// The version of this program; the test beside it holds it to package.json.

export const VERSION = "0.1.0";
