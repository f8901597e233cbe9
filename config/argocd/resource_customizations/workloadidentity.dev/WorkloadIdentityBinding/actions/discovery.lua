-- What a person can do with a WorkloadIdentityBinding by a click.
local suspended = obj.spec ~= nil and obj.spec.suspend == true
return {
  suspend = { disabled = suspended, iconClass = "fa fa-fw fa-pause", displayName = "Suspend" },
  resume = { disabled = not suspended, iconClass = "fa fa-fw fa-play", displayName = "Resume" },
  reconcile = { disabled = false, iconClass = "fa fa-fw fa-sync", displayName = "Look at Azure now" },
}
