// The cases of cases/smoke.
import { runArea } from "./area.ts";

runArea("smoke");
