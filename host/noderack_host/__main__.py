import json, sys
from noderack_host.packs import load_packs
a=sys.argv[1:]
names=[]
if '--packs' in a:
    i=a.index('--packs')+1
    while i<len(a) and not a[i].startswith('--'): names.append(a[i]); i+=1
p=load_packs(only=names or None)
s,b=p.schemas()
print(json.dumps({"packs":[x.as_dict() for x in p.packs],"node_types":{k:v.to_object_info() for k,v in s.items()},"failures":[f.as_dict() for f in (*p.failures,*b)]}))
