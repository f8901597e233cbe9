-- Asks for a look at Azure by a value that the annotation did not have before.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["workloadidentity.dev/reconcile-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
