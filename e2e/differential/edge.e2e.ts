// The cases of cases/edge.
import { runArea } from "./area.ts";

runArea("edge");
