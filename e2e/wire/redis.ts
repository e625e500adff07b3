// Gets a real redis-server.
import { getDebianPrograms } from "../debian.ts";

export interface RedisProgram {
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
}

export function getRedis(): RedisProgram {
  const redis = getDebianPrograms({
    name: "redis",
    packages: [
      "redis-server",
      "redis-tools",
      "liblzf1",
      "libjemalloc2",
      "liblua5.1-0",
      "lua-cjson",
      "lua-bitop",
      "libatomic1",
      "libhiredis0.14",
    ],
    folders: ["usr/bin"],
    program: "redis-server",
  });
  return { file: redis.file("redis-server"), env: redis.env };
}
