// The cases of cases/balancing.
import { runArea } from "./area.ts";

runArea("balancing");
