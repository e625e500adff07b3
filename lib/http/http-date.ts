// The date of a message as HTTP writes it (IMF-fixdate, RFC 9110 §5.6.7).

let lastSecond = -1;
let lastText = "";

/** Made once a second and kept: whoever asks in the same second gets the same text. */
export function formatHttpDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = new Date(second * 1000).toUTCString();
  }
  return lastText;
}
