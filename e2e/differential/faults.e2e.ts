// The cases of cases/faults.
import { runArea } from "./area.ts";

runArea("faults");
