// The cases of cases/rate-limits.
import { runArea } from "./area.ts";

runArea("rate-limits");
