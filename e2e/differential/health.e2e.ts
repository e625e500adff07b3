// The cases of cases/health.
import { runArea } from "./area.ts";

runArea("health");
