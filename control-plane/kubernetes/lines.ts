// Cuts a stream of text into its lines.

/** Long objects come in hundreds of pieces: each piece is looked at once. */
export class LineSplitter {
  readonly #pieces: string[] = [];

  /** The lines that this piece completes, empty ones left out. */
  push(piece: string): readonly string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = piece.indexOf("\n"); end !== -1; end = piece.indexOf("\n", start)) {
      this.#pieces.push(piece.slice(start, end));
      const line = this.#pieces.splice(0).join("");
      if (line !== "") lines.push(line);
      start = end + 1;
    }
    if (start < piece.length) this.#pieces.push(piece.slice(start));
    return lines;
  }
}
