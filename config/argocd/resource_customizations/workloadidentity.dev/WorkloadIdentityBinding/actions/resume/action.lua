-- What waited is written.
obj.spec.suspend = false
return obj
