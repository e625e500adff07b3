// The cases of cases/timeouts.
import { runArea } from "./area.ts";

runArea("timeouts");
