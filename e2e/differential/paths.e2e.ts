// The cases of cases/paths.
import { runArea } from "./area.ts";

runArea("paths");
