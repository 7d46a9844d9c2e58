"""The morning page: what the published file says of a day, beside the seven days before it.

`window` has its days, zones and units, `scope` the rows it is of, `figures` and `charts` what is
said of them, `attention` what stands out; `page` and `workbook` write it down.
"""
