// The cases of cases/overload.
import { runArea } from "./area.ts";

runArea("overload");
