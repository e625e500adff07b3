// The cases of cases/limits.
import { runArea } from "./area.ts";

runArea("limits");
