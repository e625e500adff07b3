// The cases of cases/clusters.
import { runArea } from "./area.ts";

runArea("clusters");
