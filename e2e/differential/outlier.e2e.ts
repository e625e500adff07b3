// The cases of cases/outlier.
import { runArea } from "./area.ts";

runArea("outlier");
