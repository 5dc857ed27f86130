"""Makes the float64 truth the primitives are tested against: `python generate.py DIRECTORY`, with mpmath.

Each line: the bits of the arguments, the bits of the exact value correctly rounded (ties to even, gradual underflow), and
those of what rounding took away, exact − rounded, in units in the last place of the exact value.
"""
import struct, random, math, os, sys
from mpmath import mp, mpf, exp, expm1, log, log1p, tanh, sin, cos, erf, erfc, power, sqrt, isnan
mp.prec=1400
random.seed(20261123)
def bits(x): return struct.unpack('<Q',struct.pack('<d',x))[0]
def fl(b): return struct.unpack('<d',struct.pack('<Q',b))[0]
left=0.0
def rnd(v):
    global left
    left=0.0
    v=mpf(v)
    if v==0: return 0.0
    if isnan(v): return math.nan
    if abs(v)==mpf('inf'): return math.inf if v>0 else -math.inf
    m,e=mp.frexp(abs(v)); # 0.5<=m<1
    lsb=max(e-53,-1074)
    n=int(mp.nint(mp.ldexp(abs(v),-lsb)))
    left=float(mp.ldexp(abs(v),-lsb)-n)*(1 if v>0 else -1)
    try: r=math.ldexp(n,lsb)
    except OverflowError: r,left=math.inf,0.0
    return r if v>0 else -r
def line(*numbers): return ",".join("%016x"%bits(x) for x in numbers)+"\n"
def erfc_(x):
    return erfc(x)
def cdf(x): return erfc(-x/sqrt(mpf(2)))/2
def erfcx(x):
    if x<-27: return mpf('inf')
    if x>1e4:
        v=1/(2*x*x); return (1-v+3*v*v-15*v**3+105*v**4)/(x*sqrt(mp.pi))
    return exp(x*x)*erfc(x)
S=mpf(2)**64
spread=lambda lo,hi,n:[random.choice([-1,1])*math.ldexp(1+random.random(),random.randint(lo,hi)) for _ in range(n)]
uni=lambda a,b,n:[random.uniform(a,b) for _ in range(n)]
ext=[0.0,5e-324,1e-310,2.2250738585072014e-308,1e-300,1e-200,1e-100,1e-20,1e-17,1e-10,1.0,math.nextafter(1,0),math.nextafter(1,2),2.0,0.5,1e10,1e100,1e300,1.7976931348623157e308,math.inf]
both=ext+[-x for x in ext]+[math.nan]
cases={
 'exp':(exp,both+uni(-745.2,710,150)+uni(-745.2,-707,60)+uni(-2,2,150)+spread(-60,9,100)+[709.782712893384,709.7827128933841,-745.1332191019411,-745.1332191019412,-708.3964185322641]),
 'expm1':(expm1,both+uni(-45,710,100)+uni(-2,2,300)+spread(-60,9,100)+uni(0.3,0.4,60)+uni(-.4,-.3,60)+uni(36,40,40)),
 'log':(log,both+[abs(x) for x in spread(-1074,1023,150)]+uni(.5,2,250)+uni(.99,1.01,100)+uni(.7,.72,40)+uni(1.4,1.42,40)),
 'log1p':(log1p,both+spread(-60,-1,150)+[abs(x) for x in spread(-5,1020,80)]+uni(-1,3,300)+uni(-.3,-.28,50)+uni(.4,.42,50)),
 'tanh':(tanh,both+spread(-60,5,200)+uni(-20,20,100)+uni(-1.5,1.5,300)),
 'sin':(sin,both+spread(-30,1023,250)+uni(-10,10,200)+[k*math.pi/2 for k in range(-20,20)]+[6381956970095103*2.0**797,math.ldexp(5.0,500),1e22]),
 'cos':(cos,both+spread(-30,1023,250)+uni(-10,10,200)+[k*math.pi/2 for k in range(-20,20)]+[6381956970095103*2.0**797,math.ldexp(5.0,500),1e22]),
 'erf':(erf,both+spread(-60,3,150)+uni(-6,6,250)+uni(.9,1.1,60)),
 'erfc':(erfc_,both+spread(-60,4,150)+uni(-6,28,250)+uni(-1,3,250)+uni(26,27.3,50)),
 'erfcx':(erfcx,both+spread(-60,30,150)+[abs(x) for x in spread(3,1020,50)]+uni(-27,0,150)+uni(-1,30,250)+uni(-1.5,1.5,150)),
 'normal_cdf':(cdf,both+spread(-60,5,150)+uni(-38.6,9,250)+uni(-3,3,250)+uni(-38.7,-37,50)),
 'tanh_gap':(lambda x:x-tanh(x) if abs(x)<mpf('inf') else x,both+spread(-60,9,200)+uni(-3,3,300)+uni(.6,.68,60)+uni(.9,1.1,40)),
 'exp_neg_scaled':(lambda x:exp(-x)*S,[0.0,752.0,1e-300]+uni(0,752,300)+uni(0,2,100)),
 'expm1_nonpositive':(expm1,[-abs(x) for x in ext]+uni(-45,0,150)+uni(-2,0,200)),
 'log1p_unit':(log1p,[x for x in ext if x<=1]+uni(0,1,300)+[abs(x) for x in spread(-60,-1,100)]),
 'normal_tail_scaled':(lambda x:cdf(-x)*S,[x for x in ext if x<=2]+uni(0,38.5,300)+uni(0,3,200)),
}
# Where kernels are hardest: next to the bounds of reductions, where terms cancel, where the result nears 1.
more=random.Random(20261126)
hard={'expm1':[(.34,.38),(-.38,-.34)],'log':[(1.38,1.42),(.7,.72)],'log1p':[(.41,.45),(-.31,-.28)],'tanh':[(18,19.1),(.1,.3)],
 'erf':[(.5,1),(0,.1)],'erfc':[(0,.02),(-.02,0)],'erfcx':[(0,.02),(.02,.3)],'normal_cdf':[(-.02,.02),(-1,0)],'tanh_gap':[(.5,.66)],
 'exp':[(440,460)],'sin':[(-9,9)],'cos':[(-9,9)],'exp_neg_scaled':[(400,410)],'expm1_nonpositive':[(-.3,-.2)],'log1p_unit':[(.4,.42)],
 'normal_tail_scaled':[(0,.05),(0,1)]}
for name,intervals in hard.items():
    cases[name][1].extend(more.uniform(a,b) for a,b in intervals for _ in range(200))
out=sys.argv[1]
os.makedirs(out,exist_ok=True)
def run(f,x):
    global left
    left=0.0
    if math.isnan(x): return math.nan
    if math.isinf(x):
        lim={'exp':(0.0,math.inf),'expm1':(-1.0,math.inf),'log':(math.nan,math.inf),'log1p':(math.nan,math.inf),'tanh':(-1.0,1.0),'sin':(math.nan,)*2,'cos':(math.nan,)*2,'erf':(-1.0,1.0),'erfc':(2.0,0.0),'erfcx':(math.inf,0.0),'normal_cdf':(0.0,1.0),'tanh_gap':(-math.inf,math.inf),'expm1_nonpositive':(-1.0,math.inf)}[name]
        return lim[x>0]
    if name=='log' and x<=0: return -math.inf if x==0 else math.nan
    if name=='log1p' and x<=-1: return -math.inf if x==-1 else math.nan
    if name in('exp',) : x=max(min(x,800),-800)
    if name=='expm1' : x=max(min(x,800),-800)
    if name=='tanh' and abs(x)>400: return math.copysign(1,x)
    if name=='tanh_gap' and abs(x)>400: return rnd(mpf(x)-(1 if x>0 else -1))
    if name in('erf','erfc','normal_cdf') and abs(x)>60: x=math.copysign(60,x)
    if name in('tanh','expm1','log1p','erf','expm1_nonpositive','log1p_unit','sin','tanh_gap') and x==0: return x
    if name=='tanh_gap' and abs(x)<1e-100: return rnd(mpf(x)**3/3)
    if name in('tanh','expm1','log1p','erf','sin','expm1_nonpositive','log1p_unit') and abs(x)<1e-100:
        return rnd(f(mpf(x))) if name=='erf' else x
    return rnd(f(mpf(x)))
for name,(f,xs) in cases.items():
    with open(os.path.join(out,name+'.csv'),'w') as o:
        o.write("# %s in float64: bits of x, bits of the correctly rounded result, of what it lacks in ulp (mpmath, 1400 bits)\n"%name)
        for x in xs:
            y=run(f,x)
            o.write(line(x,y,left))
# pow
ps=[]
sp=[0.0,1.0,2.0,3.0,0.5,1.5,2.0**52+0.5,2.0**53,2.0**53-1,1e300,1e-300,5e-324,math.inf]
def pw(x,y):
    try: return math.pow(x,y)  # special cases: C's
    except ValueError: return math.nan if x!=0 else math.copysign(math.inf,x) if (y==math.trunc(y) and y%2==1) else math.inf
    except OverflowError: return -math.inf if x<0 and y%2==1 else math.inf
for x in sp+[-v for v in sp]+[math.nan]:
    for y in sp+[-v for v in sp]+[math.nan]:
        r,left=pw(x,y),0.0
        if not(math.isnan(r) or math.isinf(r) or r==0 or abs(x) in(0,1,math.inf) or abs(y)>1e6 or y==0):
            s=math.copysign(1,r)
            r=s*rnd(power(mpf(abs(x)),mpf(y)))
            left*=s
        ps.append((x,y,r,left))
for _ in range(700):
    x=abs(spread(-1074,1023,1)[0]) if random.random()<.5 else random.uniform(.5,2)
    if x==1: continue
    y=random.uniform(-1080,1024)/math.log2(x)
    if random.random()<.4: y=random.uniform(-60,60)/math.log2(x)
    if math.isinf(y): continue
    r=rnd(power(mpf(x),mpf(y)))
    ps.append((x,y,r,left))
with open(os.path.join(out,'pow.csv'),'w') as o:
    o.write("# pow in float64: bits of x, of y, of the correctly rounded result, of what it lacks in ulp (mpmath, 1400 bits; special cases: C)\n")
    for entry in ps: o.write(line(*entry))
# exp_neg_scaled_sum: corrections as small as a rounding error, and as large as half a grid of 2⁻¹²
random.seed(20261126)
with open(os.path.join(out,'exp_neg_scaled_sum.csv'),'w') as o:
    o.write("# exp_neg_scaled_sum in float64: bits of a, of low, of the correctly rounded result, of what it lacks in ulp (mpmath, 1400 bits)\n")
    for y in [0.0,752.0,1e-300]+uni(0,752,300)+uni(0,2,200):
        low=random.uniform(-1,1)*random.choice([y*2.0**-53,y*2.0**-53,2.0**-13])
        r=rnd(exp(-(mpf(y)+mpf(low)))*S)
        o.write(line(y,low,r,left))
# exp_scaled: everywhere in its domain, with scales that keep the result normal
random.seed(20261127)
with open(os.path.join(out,'exp_scaled.csv'),'w') as o:
    o.write("# exp_scaled in float64: bits of a, of k, of the correctly rounded result, of what it lacks in ulp (mpmath, 1400 bits)\n")
    for y in [0.0,1e-300,2256.0,-2256.0]+uni(-2256,2256,300)+uni(-2,2,200):
        k=float(round(-y/math.log(2))+random.randint(-1000,1000))
        r=rnd(exp(mpf(y))*mpf(2)**int(k))
        o.write(line(y,k,r,left))
