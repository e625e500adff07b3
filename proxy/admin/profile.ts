// Profiles of the thread that calls, on demand, in the formats that Chrome DevTools opens.
import inspector from "node:inspector/promises";
import v8 from "node:v8";

/** Samples this thread for so many seconds; gives a `.cpuprofile`. */
export async function recordCpuProfile(seconds: number): Promise<string> {
  const session = new inspector.Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const { profile } = await session.post("Profiler.stop");
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}

/** A `.heapsnapshot` of this thread. */
export async function takeHeapSnapshot(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of v8.getHeapSnapshot()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
